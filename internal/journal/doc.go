// Package journal keeps what happened, for those who wait until something has, and tells it over HTTP from the beginning and
// then live, one JSON object per line, until it ends. A live reader knows everything that an application did until it
// was killed.
package journal
