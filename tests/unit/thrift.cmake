foreach(part codec_client fuzz peer_wire)
  assent_test(thrift_${part}_test ${CMAKE_CURRENT_LIST_DIR}/thrift_${part}_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/thrift_samples.cc ${CMAKE_CURRENT_LIST_DIR}/samples.cc LINK assent_thrift_codec assent_transport)
  target_include_directories(thrift_${part}_test PRIVATE ${CMAKE_CURRENT_LIST_DIR})
endforeach()
