// Package pace is how long a loop waits before its next turn: a pause that ends with its context, back-off between
// attempts that fail, jitter, and rest in proportion to work. All but Sleep are pure: they take durations and random
// numbers and return durations. It keeps no state and starts no goroutine.
package pace
