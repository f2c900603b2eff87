// Package capacity decides how many calls may be in flight at the endpoints of a
// level before the next level gets some: as many as their TrafficPolicy, or their
// cluster, declares, of which this proxy has its share. It is fed counts and
// time, and neither chooses nor refuses: failover/balance does the one,
// failover/http and failover/tcp do the other.
package capacity
