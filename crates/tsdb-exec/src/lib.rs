//! Plans and runs queries over any store behind the storage seam.
