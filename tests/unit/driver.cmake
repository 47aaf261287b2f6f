# The driver of a replica (driver/replica.h) and what it is made of.

foreach(part handover registration)
  assent_test(driver_${part}_test ${CMAKE_CURRENT_LIST_DIR}/driver_${part}_test.cc LINK assent_world)
endforeach()
assent_test(driver_rules_test ${CMAKE_CURRENT_LIST_DIR}/driver_rules_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/driver_coordinator_rules_test.cc LINK assent_world)
assent_test(driver_parts_test ${CMAKE_CURRENT_LIST_DIR}/driver_disk_reserve_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/driver_log_view_test.cc ${CMAKE_CURRENT_LIST_DIR}/driver_replica_files_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/driver_snapshot_transfer_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/driver_state_machine_test.cc LINK assent_driver assent_simulated_disk)
