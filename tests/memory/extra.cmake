# Allocations of the product's code lead to failing.c.
target_sources(test_memory PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/memory/failing.c)
target_link_libraries(test_memory PRIVATE fedpet_client PkgConfig::SQLITE PkgConfig::JANSSON)
target_link_options(test_memory PRIVATE
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup,--wrap=cyaml_mem)
