# A module is a folder: its *.c files make one static library. New files are found by themselves.

# fedpet_library(NAME DEPS...): fedpet_NAME from the sources of this folder, but for main.c and its
# commands, cmd*.c.
function(fedpet_library name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    list(FILTER sources EXCLUDE REGEX "/(main|cmd[^/]*)\\.c$")
    fedpet_add_library(fedpet_${name} "${sources}" ${ARGN})
endfunction()

# The same sources once more, in double precision, for gradient checks: fedpet64_NAME.
function(fedpet_library64 name)
    if(NOT FEDPET_TESTS)
        return()
    endif()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    fedpet_add_library(fedpet64_${name} "${sources}" ${ARGN})
    if(sources)
        target_compile_definitions(fedpet64_${name} PUBLIC FEDPET_DOUBLE)
    endif()
endfunction()

function(fedpet_add_library target sources)
    if(sources)
        add_library(${target} STATIC ${sources})
        target_link_libraries(${target} PUBLIC fedpet_flags ${ARGN})
    else()
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE fedpet_flags ${ARGN})
    endif()
endfunction()

# fedpet_dlopened(PACKAGE): dlopened_PACKAGE, to use what pkg_check_modules(PACKAGE) found without being linked with it (base/dynlib.h):
# its headers, and FEDPET_PACKAGE_SONAME, the name under which it is opened, as the library itself has it.
function(fedpet_dlopened package)
    list(GET ${package}_LINK_LIBRARIES 0 library)
    execute_process(COMMAND ${CMAKE_READELF} --dynamic ${library} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
    if(NOT dynamic MATCHES "\\(SONAME\\)[^[]*\\[([^]]+)\\]")
        message(FATAL_ERROR "${library} is no shared library: it has no SONAME")
    endif()
    add_library(dlopened_${package} INTERFACE)
    target_include_directories(dlopened_${package} INTERFACE ${${package}_INCLUDE_DIRS})
    target_compile_definitions(dlopened_${package} INTERFACE FEDPET_${package}_SONAME="${CMAKE_MATCH_1}")
endfunction()

# fedpet_program(NAME DEPS...): an executable from this folder's main.c and cmd*.c.
function(fedpet_program name)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/main.c)
        file(GLOB commands CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cmd*.c)
        add_executable(${name} main.c ${commands})
        target_link_libraries(${name} PRIVATE ${ARGN})
    endif()
endfunction()

# Seconds that a test program may take; sanitizers make it several times slower, emulation some dozen times.
set(FEDPET_TIMEOUT 600)
set(FEDPET_PATIENCE 60) # of a script with a program
if(CMAKE_CROSSCOMPILING)
    set(FEDPET_TIMEOUT 7200)
    set(FEDPET_PATIENCE 600)
elseif(FEDPET_SANITIZE)
    set(FEDPET_TIMEOUT 1800)
endif()

# fedpet_test(FOLDER DEPS...): one Criterion program, test_FOLDER, from tests/FOLDER/test_*.c; then
# tests/FOLDER/extra.cmake, for tests that Criterion cannot run. --verbose names what was skipped.
function(fedpet_test folder)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/test_*.c)
    if(sources)
        add_executable(test_${folder} ${sources})
        target_link_libraries(test_${folder} PRIVATE ${ARGN} PkgConfig::CRITERION)
        target_compile_definitions(test_${folder} PRIVATE FEDPET_TEST_DIR="${CMAKE_CURRENT_SOURCE_DIR}"
                                                          FEDPET_BUILD_DIR="${CMAKE_BINARY_DIR}")
        add_test(NAME ${folder} COMMAND test_${folder} --verbose=1 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        set_tests_properties(${folder} PROPERTIES TIMEOUT ${FEDPET_TIMEOUT})
    endif()
    include(${CMAKE_CURRENT_SOURCE_DIR}/${folder}/extra.cmake OPTIONAL)
endfunction()

# fedpet_thread_test(NAME SOURCE DEPS...): a plain program, since ThreadSanitizer cannot run Criterion;
# exit status 0 is success, 77 skips. `./dev sanitize` runs the tests with this label.
function(fedpet_thread_test name source)
    add_executable(test_${name} ${source})
    target_link_libraries(test_${name} PRIVATE ${ARGN})
    add_dependencies(threads test_${name})
    add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS threads TIMEOUT ${FEDPET_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()
