// Owns the precompiled headers of the libraries (targets.cmake).
