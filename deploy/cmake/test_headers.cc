// Owns the precompiled headers of the tests (targets.cmake); nothing runs it.
