//! The timer heap and the buckets before it.
