// Package journal keeps events, for readers that wait for one, and serves them over HTTP from the beginning and
// then live, one JSON object per line, until it ends. A live reader knows everything that an application did until it
// was killed.
package journal
