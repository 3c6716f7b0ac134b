# Build options. Presets (CMakePresets.json) choose among them.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug, RelWithDebInfo or MinSizeRel" FORCE)
endif()
option(FEDPET_TESTS "Build the tests" ON)
option(FEDPET_FUZZ "Build the libFuzzer targets (clang only)" OFF)
set(FEDPET_SANITIZE "" CACHE STRING "address,undefined or thread; empty for none")

add_library(fedpet_flags INTERFACE)
target_compile_definitions(fedpet_flags INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE
                                                  FEDPET_VERSION="${PROJECT_VERSION}")
target_include_directories(fedpet_flags INTERFACE ${PROJECT_SOURCE_DIR}/common ${PROJECT_SOURCE_DIR})
target_compile_options(
    fedpet_flags
    INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Werror
              -fstack-protector-strong -fno-math-errno -fno-trapping-math -fvisibility=hidden)
target_link_options(fedpet_flags INTERFACE -Wl,--as-needed -Wl,-z,relro -Wl,-z,now)

if(FEDPET_SANITIZE)
    target_compile_options(fedpet_flags INTERFACE -fsanitize=${FEDPET_SANITIZE} -fno-sanitize-recover=all
                                                  -fno-omit-frame-pointer)
    target_link_options(fedpet_flags INTERFACE -fsanitize=${FEDPET_SANITIZE})
    target_compile_definitions(fedpet_flags INTERFACE FEDPET_SANITIZED)
endif()
