# The driver of a replica (runtime/replica.h) and what it is made of.
add_library(driver_world STATIC ${CMAKE_CURRENT_LIST_DIR}/driver_world.cc)
target_link_libraries(driver_world PUBLIC assent_runtime assent_participant assent_coordinator memory_file)

foreach(part rules random)
  assent_test(driver_${part}_test ${CMAKE_CURRENT_LIST_DIR}/driver_${part}_test.cc LINK driver_world)
endforeach()
