// Package descriptors keeps file descriptors in reserve: connections of applications and of peers are refused before a process has none
// left for its admin and health listeners, for tunnels, and for the files that it reads. It opens and closes nothing.
package descriptors
