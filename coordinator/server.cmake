# The wire half of the coordinator (coordinator/CMakeLists.txt has the core, which knows nothing of Thrift).
assent_library(assent_coordinator_server foreign_caller.cc server.cc
  LINK assent_common assent_thrift_codec assent_transport)
