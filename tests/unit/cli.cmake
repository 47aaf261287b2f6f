assent_test(cli_text_test ${CMAKE_CURRENT_LIST_DIR}/cli_parse_operation_test.cc ${CMAKE_CURRENT_LIST_DIR}/cli_text_test.cc
  LINK assent_cli_text)
