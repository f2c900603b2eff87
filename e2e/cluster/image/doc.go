// Package image writes container images without Docker: one layer on top of
// nothing, in the form that `docker save` has and containerd imports.
package image
