assent_test(serve_descriptors_test ${CMAKE_CURRENT_LIST_DIR}/serve_descriptors_test.cc LINK assent_serve)
