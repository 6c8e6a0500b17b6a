// Package archive is about what is not wanted in a tar archive that others made: [Sparse].
package archive
