// Package tried keeps what the tries of one request have reached, and orders the candidates of the next try by it.
package tried
