# Debian's Python: the one that python3-thrift is for.
add_test(NAME example_ledger_test
  COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/example_ledger_test.py)
assent_test_properties(example_ledger_test TARGET assent_python TIMEOUT 60)
set_property(TEST example_ledger_test APPEND PROPERTY ENVIRONMENT "PYTHONPATH=${PROJECT_BINARY_DIR}/python")
