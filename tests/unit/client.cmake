assent_test(client_outcome_test ${CMAKE_CURRENT_LIST_DIR}/client_outcome_test.cc LINK assent_client)
assent_test(client_client_test ${CMAKE_CURRENT_LIST_DIR}/client_client_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/client_fake_coordinator.cc LINK assent_client LABELS unit tsan)
target_include_directories(client_client_test PRIVATE ${CMAKE_CURRENT_LIST_DIR})
