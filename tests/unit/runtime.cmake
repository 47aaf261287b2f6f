include(${PROJECT_SOURCE_DIR}/cmake/thrift.cmake)
assent_thrift(runtime_echo_thrift echo.thrift)

foreach(part framed server client link loop call_gate log_lines)
  assent_test(runtime_${part}_test runtime_${part}_test.cc runtime_echo.cc LINK assent_transport runtime_echo_thrift
    LABELS unit tsan)
endforeach()
# It watches every allocation of its program.
target_sources(runtime_framed_test PRIVATE runtime_allocations.cc)
assent_test(runtime_process_trace_test runtime_process_trace_test.cc LINK assent_runtime)
assent_test(runtime_parts_test runtime_crash_points_test.cc runtime_directory_faults_test.cc
  runtime_limited_log_test.cc runtime_replica_watch_test.cc LINK assent_runtime)
assent_test(runtime_threads_test runtime_log_writer_test.cc runtime_worker_test.cc
  LINK assent_runtime assent_simulated_disk LABELS unit tsan)
