# What `cmake --install` installs: docs/LIBRARY.md.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/assent)
install(TARGETS assent_shared assent_static EXPORT assent INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/assent DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES thrift/assent.thrift DESTINATION ${CMAKE_INSTALL_DATADIR}/assent)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(ASSENT_PROGRAM)
  install(TARGETS assent)
endif()

# find_package(assent): the targets need nothing else, so their file is the whole configuration.
install(EXPORT assent NAMESPACE assent:: FILE assent-config.cmake DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/assent-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/assent-config-version.cmake DESTINATION ${package_dir})

# pkg-config. The files say where they are, so that `cmake --install --prefix` may choose another place.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE up)
foreach(package assent assent-static)
  configure_file(cmake/${package}.pc.in ${PROJECT_BINARY_DIR}/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
