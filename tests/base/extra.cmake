# A second opinion on the log's JSON.
target_link_libraries(test_base PRIVATE PkgConfig::JANSSON)

fedpet_thread_test(log_threads ${CMAKE_CURRENT_SOURCE_DIR}/base/thread_log.c fedpet_base)
