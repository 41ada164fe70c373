//! Sound and pictures, against other programs that read and write them.
