// Package file reads the manifests of an entry from a directory, with the place of each error, and with the last good object for one that
// cannot be used. It does not judge what they mean: package route does.
package file
