// Package repocheck is only tests: house rules over the whole tree that no
// linter checks. It contains no code for the proxy.
package repocheck
