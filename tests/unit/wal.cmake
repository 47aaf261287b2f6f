
foreach(test crash damage format inspect log torn)
  assent_test(wal_${test}_test ${CMAKE_CURRENT_LIST_DIR}/wal_${test}_test.cc LINK assent_simulated_disk)
endforeach()
assent_test(wal_posix_test ${CMAKE_CURRENT_LIST_DIR}/wal_posix_test.cc LINK assent_simulated_disk LABELS unit tsan)
