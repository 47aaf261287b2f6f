assent_test(store_test store_test.cc LINK assent_store)
assent_test(store_faults_test store_faults_test.cc store_test_vfs.cc LINK assent_store)
assent_test(store_damage_test store_damage_test.cc LINK assent_store)
assent_test(store_snapshot_test store_snapshot_test.cc LINK assent_store)
