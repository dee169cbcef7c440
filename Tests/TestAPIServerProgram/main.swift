import TestAPIServer

await TestAPIServerProgram.run(arguments: Array(CommandLine.arguments.dropFirst()))
