add_library(memory_file STATIC ${CMAKE_CURRENT_LIST_DIR}/memory_file.cc)
target_link_libraries(memory_file PUBLIC assent_wal)

foreach(test crash damage format inspect log torn)
  assent_test(wal_${test}_test ${CMAKE_CURRENT_LIST_DIR}/wal_${test}_test.cc LINK memory_file)
endforeach()
assent_test(wal_posix_test ${CMAKE_CURRENT_LIST_DIR}/wal_posix_test.cc LINK memory_file LABELS unit tsan)
