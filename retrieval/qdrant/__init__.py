"""The store whose passages are in Qdrant: on a server or a cluster, or in a folder that this process serves itself."""
