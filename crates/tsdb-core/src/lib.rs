//! Types, the storage seam, and the seams to the world (files, clock, randomness) of the time series database.
