assent_test(client_outcome_test ${CMAKE_CURRENT_LIST_DIR}/client_outcome_test.cc LINK assent_client)
foreach(name client_client_test client_enlist_test client_failover_test)
  assent_test(${name} ${CMAKE_CURRENT_LIST_DIR}/${name}.cc ${CMAKE_CURRENT_LIST_DIR}/client_fake_coordinator.cc
    LINK assent_client LABELS unit tsan)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR})
endforeach()
