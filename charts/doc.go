// Package charts is only tests: of the Helm chart below it, rendered by the real helm. It contains no code.
package charts
