# Random models of odd sizes.
target_link_libraries(test_model PRIVATE random_model)
