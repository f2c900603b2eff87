// Package route is what Gateway API manifests mean: which listeners there are, and what is to be done with each request. It follows Gateway
// API 1.6: Compile makes a Table and the status of each object, Table.Match a Decision. Both are pure: the package never opens a socket,
// reads a file or a clock, or draws a random number.
package route
