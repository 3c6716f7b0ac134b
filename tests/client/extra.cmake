# Tiny models to train.
target_link_libraries(test_client PRIVATE random_model)

fedpet_thread_test(trainer_threads ${CMAKE_CURRENT_SOURCE_DIR}/client/tsan_trainer.c "fedpet_client;random_model")

# What tests/interop/mlm_parity.py asks.
add_executable(mlm_scores ${CMAKE_CURRENT_SOURCE_DIR}/interop/mlm_scores.c)
target_link_libraries(mlm_scores PRIVATE fedpet_peft)
# The command itself, as people run it.
add_dependencies(test_client fedpet-client)
