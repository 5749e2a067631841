// Package build has black-box tests of image builds: a hulld of its own, docker's command line with the
// classic API and with BuildKit, and hull-build, on a base image of busybox. They need root and the
// programs in bin/ (`make build`), and use no network.
package build
