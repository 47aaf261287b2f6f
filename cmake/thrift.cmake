include_guard(GLOBAL)

find_program(THRIFT_COMPILER thrift REQUIRED)

# assent_thrift(TARGET IDL [OPTIONS ...]): a static library of the C++ code that the Thrift compiler makes of IDL, in
# the build tree only. Include its headers by bare name ("Echo.h"); they are SYSTEM headers, and the generated code is
# compiled without our warnings, which it could not pass. OPTIONS replaces the generator's options.
function(assent_thrift target idl)
  cmake_parse_arguments(A "" "" "OPTIONS" ${ARGN})
  if(NOT A_OPTIONS)
    set(A_OPTIONS no_skeleton moveable_types)
  endif()
  list(JOIN A_OPTIONS "," options)
  cmake_path(ABSOLUTE_PATH idl BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
  cmake_path(GET idl STEM base)
  set(out ${PROJECT_BINARY_DIR}/gen-cpp/${target})
  file(MAKE_DIRECTORY ${out})

  # The files made are one pair per service, and one for constants if there are any: the IDL says which.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${idl})
  set(made ${base}_types)
  file(STRINGS ${idl} constants REGEX "^const[ \t]+")
  if(constants)
    list(APPEND made ${base}_constants)
  endif()
  file(STRINGS ${idl} services REGEX "^service[ \t]+")
  foreach(line IN LISTS services)
    string(REGEX REPLACE "^service[ \t]+([A-Za-z0-9_]+).*" "\\1" service "${line}")
    list(APPEND made ${service})
  endforeach()
  list(TRANSFORM made PREPEND ${out}/)
  set(sources ${made})
  list(TRANSFORM sources APPEND .cpp)
  set(headers ${made})
  list(TRANSFORM headers APPEND .h)

  add_custom_command(OUTPUT ${sources} ${headers}
    COMMAND ${THRIFT_COMPILER} -strict --gen cpp:${options} -out ${out} ${idl}
    # A peer may send any number for an enum, which one without a fixed type could not hold: undefined behaviour.
    COMMAND sed -i "s/^  enum type {$/  enum type : int32_t {/" ${out}/${base}_types.h
    DEPENDS ${idl} VERBATIM)
  add_library(${target} STATIC ${sources} ${headers})
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_link_libraries(${target} PUBLIC PkgConfig::THRIFT)
  target_compile_options(${target} PRIVATE -w -fno-omit-frame-pointer)
  set_target_properties(${target} PROPERTIES ${ASSENT_PUBLISHED})
  if(ASSENT_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ASSENT_SANITIZE} -fno-sanitize-recover=all)
  endif()
endfunction()
