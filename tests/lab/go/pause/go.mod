module lastgood.dev/lab/pause

go 1.21
