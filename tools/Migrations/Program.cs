Console.WriteLine("This is the start-up project of dotnet-ef; run scripts/migration.");
