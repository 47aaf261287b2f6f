include(${CMAKE_SOURCE_DIR}/cmake/thrift.cmake)
assent_thrift(runtime_echo_thrift echo.thrift)

foreach(part framed server client link loop call_gate log_lines)
  assent_test(runtime_${part}_test runtime_${part}_test.cc runtime_echo.cc LINK assent_transport runtime_echo_thrift
    LABELS unit tsan)
endforeach()
# It watches every allocation of its program.
target_sources(runtime_framed_test PRIVATE runtime_allocations.cc)
assent_test(runtime_process_trace_test runtime_process_trace_test.cc LINK assent_runtime)
