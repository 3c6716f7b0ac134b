# The reader of scenarios and the stage that they are played on.
target_sources(test_scenarios PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/scenario.c
                                      ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/stage.c
                                      ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/stage_network.c
                                      ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/stage_server.c)
