// Package terminal is how commands print: tables and fields whose cells are safe for a terminal, JSON, wrapped text, and values such as
// round trips and ages.
package terminal
