// Package command is what the commands of the binary have in common: exit codes, arguments, and the flag -o.
package command
