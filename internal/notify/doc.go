// Package notify wakes goroutines with channels that carry no data: a Broadcast wakes all that wait, a Signal wakes one
// loop. Neither blocks the caller, and any number of notifications before a receiver looks count as one. What has changed is
// elsewhere, under the owner's lock.
package notify
