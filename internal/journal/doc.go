// Package journal keeps what happened, for those who wait until something has, and tells it over HTTP from the beginning and
// then live, one JSON object per line, until it ends. Whoever reads along knows to the last what an application did that
// is killed.
package journal
