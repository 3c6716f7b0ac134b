# The hub that the tests talk to.
target_sources(test_fetch PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/fetch/web.c ${CMAKE_CURRENT_SOURCE_DIR}/fetch/hub.c)
# The command itself, as people run it.
add_dependencies(test_fetch fedpet-client)
