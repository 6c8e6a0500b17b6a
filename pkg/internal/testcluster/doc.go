// Package testcluster makes clusters for the tests of packages that work on them: two hosts and a client, in trees.
package testcluster
