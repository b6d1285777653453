//! Configuration: text in, an immutable validated plan or the full list of problems out. Pure.
