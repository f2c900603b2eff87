// Package install brings Eastway onto the clusters of a lab as a user does:
// images of this checkout, charts/eastway by the real helm, peers linked by the
// command-line tool. It never reaches into Eastway's parts. Its own test is that
// all of it goes again.
package install
