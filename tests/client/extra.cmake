# Tiny models to train.
target_link_libraries(test_client PRIVATE random_model)

fedpet_thread_test(trainer_threads ${CMAKE_CURRENT_SOURCE_DIR}/client/tsan_trainer.c "fedpet_client;random_model")
