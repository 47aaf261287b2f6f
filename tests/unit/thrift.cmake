foreach(part codec_client fuzz peer_wire)
  assent_test(thrift_${part}_test ${CMAKE_CURRENT_LIST_DIR}/thrift_${part}_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/thrift_samples.cc ${CMAKE_CURRENT_LIST_DIR}/samples.cc LINK assent_thrift_codec assent_transport)
  target_include_directories(thrift_${part}_test PRIVATE ${CMAKE_CURRENT_LIST_DIR})
endforeach()

# Debian's Python: the one that python3-thrift is for.
add_test(NAME example_ledger_test
  COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/example_ledger_test.py)
assent_test_properties(example_ledger_test TARGET assent_python TIMEOUT 60)
set_property(TEST example_ledger_test APPEND PROPERTY ENVIRONMENT "PYTHONPATH=${CMAKE_BINARY_DIR}/python")
